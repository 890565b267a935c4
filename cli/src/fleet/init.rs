//! `helium init`: the first member.

use super::api::{self, Member};
use super::database;
use super::folder::{ENDPOINT, Folder};
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::options::InitOptions;
use crate::table;

/// Makes the cluster's folder and, unless only files are wanted, its Member.
pub(crate) async fn run(options: InitOptions) -> Result<()> {
    let InitOptions {
        cluster_name,
        dir,
        files_only,
        database_url,
        names,
        access,
    } = options;
    let name = cluster_name.as_str();
    let folder = Folder::open(&dir, name)?;
    // Its password isn't known to anybody else: one that is there stays.
    if let Some(url) = &database_url
        && folder.read(ENDPOINT)?.is_none()
    {
        let endpoint = database::admit(url, name).await?;
        folder.write(ENDPOINT, &endpoint)?;
    }
    let prepared = folder.prepare(&names)?;
    let mut text = if prepared.made.is_empty() {
        format!("{}: everything is there\n", folder.path().display())
    } else {
        format!(
            "{}: made {}\n",
            folder.path().display(),
            prepared.made.join(", ")
        )
    };
    if files_only {
        text += &format!(
            "\nNext, in cluster {name}:\n\n  kubectl apply -f {objects}\n  kubectl apply -k …          # docs/install.md\n  \
             helium init --cluster-name {name} --dir {dir}\n",
            objects = folder.file("objects.yaml").display(),
            dir = folder.path().display(),
        );
        table::print(&text);
        return Ok(());
    }
    let connection = Connection::open(&access).await?;
    text += &admit(&connection, name, &prepared.authorities).await?;
    table::print(&text);
    Ok(())
}

/// Makes the cluster a member, if the fleet lets it; what was done.
async fn admit(connection: &Connection, name: &str, authorities: &str) -> Result<String> {
    let own = api::own_name(connection).await?;
    if own != name {
        return Err(Error::OtherCluster {
            asked: name.to_owned(),
            own,
        });
    }
    let members = api::members(connection).await?;
    let me = members.iter().find(|member| member.name == name);
    match me {
        Some(me) if me.authorities.trim() == authorities.trim() => {
            return Ok(format!("{name} is a member\n"));
        }
        // Only the cluster itself can say so, and it does: its authority is another one now.
        Some(me) if !me.authorities.is_empty() => {
            change(connection, name, authorities).await?;
            return Ok(format!("{name} is a member, by its new authority\n"));
        }
        _ => {}
    }
    check_first(&members, name)?;
    if me.is_some() {
        change(connection, name, authorities).await?;
    } else {
        api::member_create(connection, name, authorities)
            .await
            .map_err(api::refused(format!("making {name} a member")))?;
    }
    Ok(format!(
        "{name} is the first member: from now on the fleet accepts only members\n\n\
         Next, for each other cluster:\n\n  helium token create --cluster …\n"
    ))
}

async fn change(connection: &Connection, name: &str, authorities: &str) -> Result<()> {
    let spec = serde_json::json!({"certificateAuthorities": authorities});
    api::member_merge(connection, name, spec)
        .await
        .map(drop)
        .map_err(api::refused(format!("changing the authorities of {name}")))
}

/// The first member closes the fleet, so that there must be nobody whom that would shut out.
fn check_first(members: &[Member], name: &str) -> Result<()> {
    let others = |wanted: fn(&&Member) -> bool| -> Vec<String> {
        members
            .iter()
            .filter(|member| member.name != name)
            .filter(wanted)
            .map(|member| member.name.clone())
            .collect()
    };
    let closed = others(|member| !member.authorities.is_empty());
    if !closed.is_empty() {
        return Err(Error::NotFirst { members: closed });
    }
    let open = others(|member| !member.revoked);
    if open.is_empty() {
        Ok(())
    } else {
        Err(Error::WouldShutOut { members: open })
    }
}
